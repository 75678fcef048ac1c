// How fast one stream of the reference is: node speed.js listen|send TOPIC HOST BYTES MESSAGE BOOTSTRAP...
// Prints the same as our examples/swarm_speed.rs.
const DHT = require('hyperdht')
const Hyperswarm = require('hyperswarm')

const [role, topicHex, host, bytesText, messageText, ...bootstrap] = process.argv.slice(2)
const topic = Buffer.from(topicHex, 'hex')
const bytes = Number(bytesText)
const message = Buffer.alloc(Number(messageText), 0x5a)

async function main () {
  const dht = new DHT({ bootstrap, host })
  const swarm = new Hyperswarm({ dht })
  await dht.fullyBootstrapped()
  swarm.on('connection', (connection) => {
    connection.on('error', () => {})
    if (role === 'listen') take(connection)
    else send(swarm, connection)
  })
  await swarm.join(topic, { server: role === 'listen', client: role !== 'listen' }).flushed()
  if (role === 'listen') console.log('ready')
}

function take (connection) {
  let left = bytes
  connection.on('data', (data) => {
    left -= data.length
    if (left <= 0) connection.write(Buffer.from([1]))
  })
  connection.on('end', () => connection.end())
}

async function send (swarm, connection) {
  const began = performance.now()
  connection.on('data', () => {
    const seconds = (performance.now() - began) / 1000
    console.log(JSON.stringify({ seconds, megabytesPerSecond: bytes / 1e6 / seconds }))
    connection.end()
    swarm.destroy().then(() => process.exit(0))
  })
  for (let left = bytes; left > 0; left -= message.length) {
    const part = left < message.length ? message.subarray(0, left) : message
    if (!connection.write(part)) await new Promise((resolve) => connection.once('drain', resolve))
  }
}

main()
