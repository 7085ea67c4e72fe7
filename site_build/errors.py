"""What stops a build before Sphinx starts."""


class SiteError(Exception):
    """The site cannot be built from these pages. The message names the page and the next step."""
