"""One packet through the tables of a bridge.

Translation to datapath actions and a megaflow (with the author of every mask bit), freezing and
thawing at recirculation, the megaflow cache, and the execution of datapath actions.
"""
