"""Tests of `rota.web.charts`."""
