// The official MCP client, led by a test over stdin and stdout: a line of JSON each way for each thing.
//   node client.js stdio PROGRAM [ARGUMENT…]     starts the server as an agent's host does
//   node client.js http URL TOKEN                speaks to one that runs
import { createInterface } from 'node:readline'
import { Client } from '@modelcontextprotocol/sdk/client/index.js'
import { StdioClientTransport } from '@modelcontextprotocol/sdk/client/stdio.js'
import { StreamableHTTPClientTransport } from '@modelcontextprotocol/sdk/client/streamableHttp.js'

const say = (line) => process.stdout.write(JSON.stringify(line) + '\n')
const [kind, first, ...rest] = process.argv.slice(2)

const transport =
  kind === 'http'
    ? new StreamableHTTPClientTransport(new URL(first), {
        requestInit: { headers: { Authorization: `Bearer ${rest[0]}` } },
      })
    : new StdioClientTransport({ command: first, args: rest, env: process.env, stderr: 'inherit' })

const client = new Client({ name: 'wopr-test', version: '1.0.0' })
try {
  await client.connect(transport)
} catch (error) {
  say({ refused: String(error), code: error.code })
  process.exit(0)
}
say({ ready: client.getServerVersion(), capabilities: client.getServerCapabilities(), instructions: client.getInstructions() })

const calls = new Map()

async function call({ id, call: name, arguments: args }) {
  const controller = new AbortController()
  calls.set(id, controller)
  try {
    const onprogress = (progress) => say({ id, progress })
    // The client checks each result against the schema that the server gave for it.
    const result = await client.callTool({ name, arguments: args }, undefined, {
      onprogress,
      signal: controller.signal,
      timeout: 90_000,
    })
    say({ id, result })
  } catch (error) {
    say({ id, failed: String(error), code: error.code })
  }
  calls.delete(id)
}

for await (const line of createInterface({ input: process.stdin })) {
  const told = JSON.parse(line)
  if (told.call) call(told)
  else if (told.cancel) calls.get(told.cancel)?.abort('the test has lost interest')
  else if (told.list) say({ id: told.id, result: await client.listTools() })
}
await client.close()
