"""The lanes, one short file each: how a lane is put together from the rooms below.

A lane takes a frame on a port at a time and returns what came of it. A new lane is a new file
here.
"""
