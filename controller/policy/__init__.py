"""What an operator asks for, checked, and the flows it becomes: plain Python, no controller."""
