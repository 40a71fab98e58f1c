"""Built-in handlers that tell people and services of an event: by a webhook, in Slack, by e-mail."""
