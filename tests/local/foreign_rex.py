"""SWE-ReX as its users have it: a deployment on Fargate, and a shell in it."""

import asyncio
import json

from swerex.deployment.fargate import FargateDeployment
from swerex.runtime.abstract import BashAction, Command, CreateBashSessionRequest, ReadFileRequest, WriteFileRequest


async def main() -> None:
    deployment = FargateDeployment(image="python:3.11", port=8880)
    await deployment.start()
    try:
        runtime = deployment.runtime
        said = [(await runtime.execute(Command(command=["echo", "hello"]))).stdout]
        await runtime.create_session(CreateBashSessionRequest())
        await runtime.run_in_session(BashAction(command="cd /srv && export WORD=kept"))
        said.append((await runtime.run_in_session(BashAction(command="echo $WORD in $PWD"))).output)
        await runtime.write_file(WriteFileRequest(path="/srv/file", content="content"))
        said.append((await runtime.read_file(ReadFileRequest(path="/srv/file"))).content)
        print(json.dumps(said))
    finally:
        await deployment.stop()


asyncio.run(main())
