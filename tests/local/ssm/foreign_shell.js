// A shell by npm's ssm-session: node foreign_shell.js URL TOKEN; what is typed comes by standard input.
const { ssm } = require("ssm-session");
const WebSocket = require("ws");

const [url, token] = process.argv.slice(2);
const socket = new WebSocket(url);
socket.binaryType = "arraybuffer";
const OUTPUT = 1;
let typed = false;

socket.on("open", () => ssm.init(socket, { token, termOptions: { rows: 34, cols: 197 } }));
socket.on("message", (data) => {
  const message = ssm.decode(data);
  ssm.sendACK(socket, message);
  if (message.payloadType !== OUTPUT) return;
  process.stdout.write(Buffer.from(message.payload));
  if (!typed) {
    typed = true; // behind the first prompt
    process.stdin.on("data", (text) => ssm.sendText(socket, new Uint8Array(text)));
  }
});
socket.on("close", () => process.exit(0));
