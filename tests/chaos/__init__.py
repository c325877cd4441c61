"""Real nodes, hurt in every way that a seed draws, and clients that keep books: script/chaos."""
import os
import sys

sys.path.insert(0, os.path.join(os.path.dirname(os.path.abspath(__file__)), "..", "system"))
