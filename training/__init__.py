"""How the default checkpoint is made and judged. Never imported by ``stance``."""
