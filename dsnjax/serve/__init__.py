"""A trained network over HTTP, and the page on which people draw for it."""
