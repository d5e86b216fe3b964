"""Entry point of `python -m appliance`, the same program as `ptt-appliance`."""

from appliance.cli import program

if __name__ == "__main__":
    program()
