"""AWS's command line, one command after the other in one process: it takes a second to be imported.

Each line of stdin is a list of arguments, in which {ARN} is the task that was run; for each it prints a line of JSON.
"""

import contextlib
import io
import json
import sys

from awscli.clidriver import create_clidriver

driver = create_clidriver()
arn = ""
for line in sys.stdin:
    arguments = [
        argument.replace("{ARN}", arn).replace("{ID}", arn.rpartition("/")[2]) for argument in json.loads(line)
    ]
    with contextlib.redirect_stdout(io.TextIOWrapper(io.BytesIO(), encoding="utf-8")) as said:
        code = driver.main(["--output", "json", *arguments])
    said.seek(0)
    answer = json.loads(said.read() or "null")
    if arguments[1] == "run-task":
        arn = answer["tasks"][0]["taskArn"]
    print(json.dumps([code, answer]), flush=True)
