"""`python -m appliance` is `ptt-appliance`."""

from appliance.cli import program

if __name__ == "__main__":
    program()
