"""E-mails by SMTP: the relay in the settings, and the client that sends by it."""
