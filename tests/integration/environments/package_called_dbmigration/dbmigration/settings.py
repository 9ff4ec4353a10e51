"""The project's own configuration object."""

import os


class Settings:
    url = os.environ["SHOP_DATABASE_URL"]
