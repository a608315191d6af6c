"""Linux traffic control: flower filters, actions and chains.

Classification and execution as the kernel does them, and the text of the tc command in and out.
"""
