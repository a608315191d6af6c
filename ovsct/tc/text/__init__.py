"""The text of the ``tc`` command: read into filters, and written from them.

What a word means, which number base it takes and what it needs before it is as in iproute2 6.1.
"""
