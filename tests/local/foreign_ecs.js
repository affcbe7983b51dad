// AWS's SDK for JavaScript runs a task, waits for it, describes it, reads what it said, and stops it.
const { ECSClient, RunTaskCommand, DescribeTasksCommand, StopTaskCommand, waitUntilTasksRunning, waitUntilTasksStopped } =
  require("@aws-sdk/client-ecs");
const { CloudWatchLogsClient, GetLogEventsCommand } = require("@aws-sdk/client-cloudwatch-logs");

async function main() {
  const { taskDefinition, networkConfiguration, logGroupName } = JSON.parse(process.argv[2]);
  const ecs = new ECSClient({});
  const run = await ecs.send(
    new RunTaskCommand({ cluster: "local", launchType: "FARGATE", taskDefinition, networkConfiguration }));
  const asked = { cluster: "local", tasks: [run.tasks[0].taskArn] };
  const waits = { client: ecs, maxWaitTime: 60, minDelay: 1, maxDelay: 1 };
  await waitUntilTasksRunning(waits, asked);
  const running = (await ecs.send(new DescribeTasksCommand(asked))).tasks[0];

  const logs = new CloudWatchLogsClient({});
  const logStreamName = `js/main/${asked.tasks[0].split("/").pop()}`;
  let said = [];
  for (let tries = 0; !said.length && tries < 100; tries++) {
    try {
      said = (await logs.send(new GetLogEventsCommand({ logGroupName, logStreamName }))).events.map(({ message }) => message);
    } catch (error) {
      if (error.name !== "ResourceNotFoundException") throw error;
    }
    await new Promise((resolve) => setTimeout(resolve, 100));
  }
  await ecs.send(new StopTaskCommand({ cluster: "local", task: asked.tasks[0], reason: "seen" }));
  await waitUntilTasksStopped(waits, asked);
  const { lastStatus, stoppedReason, createdAt } = (await ecs.send(new DescribeTasksCommand(asked))).tasks[0];
  let refused;
  try {
    await ecs.send(new StopTaskCommand({ cluster: "nowhere", task: asked.tasks[0] }));
  } catch (error) {
    refused = error.name;
  }
  console.log(JSON.stringify({
    running: running.lastStatus, said, lastStatus, stoppedReason, isDate: createdAt instanceof Date, refused,
  }));
}

main();
