"""Terminals in a sandbox: typed on from here, rendered here, recorded here."""
