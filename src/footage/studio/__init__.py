"""Studio: a library of clips in the browser, and its REST interface.

It knows no torch; what needs it runs in processes of its own.
"""
