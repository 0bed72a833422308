import subprocess
import sys


def test_a_site_wants_no_package_of_the_server():
    missing = ["prometheus_client", "starlette", "uvicorn"]
    code = f"import sys; sys.modules |= dict.fromkeys({missing}); import dsnjax.serve.site"
    subprocess.run([sys.executable, "-c", code], check=True)
