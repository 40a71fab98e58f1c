"""The HTTP API: one router per resource. It meets the engine in the database and in the effects of its commits."""
