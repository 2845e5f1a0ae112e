"""The one process that speaks to hostile networks: an unprivileged user behind the wall, with no keys and no files.

agentd says what to fetch and which inner addresses are granted; a page comes back as text. Whatever is foreign is
parsed here and nowhere else: DNS answers, TLS, HTTP, compression, character sets, HTML.
"""
