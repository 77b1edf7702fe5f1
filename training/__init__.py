"""How the built-in networks are made: data, losses, runs that stop and go on, and the measuring of what came out.

Needs the development data and the ``dev`` extra; nothing that runs at a user's imports it.
"""
