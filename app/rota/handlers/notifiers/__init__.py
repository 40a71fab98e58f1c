"""Built-in handlers that notify people and services of an event: by a webhook, in Slack, by e-mail."""
