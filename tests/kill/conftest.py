"""Tell at the end what came of the kill matrix."""


def pytest_terminal_summary(terminalreporter):
    lines = [
        text
        for report in terminalreporter.getreports("passed") + terminalreporter.getreports("failed")
        for name, text in getattr(report, "user_properties", ())
        if name == "kill matrix"
    ]
    if lines:
        terminalreporter.section("kill matrix")
        for line in lines:
            terminalreporter.line(line)
