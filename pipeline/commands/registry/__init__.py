"""Commands about registered models and who is champion."""
