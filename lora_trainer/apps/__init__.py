"""The two programs, put together from a host, the routes and the page. A command and a script of the Web UI import them."""
