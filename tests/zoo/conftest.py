from tests.hub_fixtures import hub, write_catalogue  # noqa: F401 - fixtures
