"""A trained network in, files out that run without dsnjax; each compared with the network."""
