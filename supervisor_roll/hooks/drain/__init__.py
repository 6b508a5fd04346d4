"""How a retired worker lets its clients go, for each worker class."""
