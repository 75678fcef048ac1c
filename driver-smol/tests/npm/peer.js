// A peer of the reference: node peer.js listen|dial TOPIC HOST [relay=KEY] BOOTSTRAP...
// With a relay's public key in hex it meets others there when its own NAT is random.
// A listener prints "ready" once it is announced, and sends every message back. A dialler prints, in milliseconds,
// when the connection stood and when the first byte came back, counted from the dial: {"opened":12.3,"firstByte":14.5},
// after a second, long message has come back in one piece too.
const DHT = require('hyperdht')
const Hyperswarm = require('hyperswarm')

const [role, topicHex, host, ...rest] = process.argv.slice(2)
const bootstrap = rest.filter((word) => !word.startsWith('relay='))
const relay = rest.find((word) => word.startsWith('relay='))
const relayThrough = relay ? Buffer.from(relay.slice('relay='.length), 'hex') : null
const topic = Buffer.from(topicHex, 'hex')
const message = Buffer.from(JSON.stringify({ hello: 'x'.repeat(300) }) + '\n')
const long = Buffer.alloc(1400000, 0x5a)

async function main () {
  const dht = new DHT({ bootstrap, host })
  const swarm = new Hyperswarm({ dht, relayThrough })
  await dht.fullyBootstrapped()
  if (role === 'listen') return listen(swarm)
  return dial(swarm)
}

async function listen (swarm) {
  swarm.on('connection', (connection) => {
    connection.on('error', () => {})
    connection.on('data', (data) => connection.write(data))
    connection.on('end', () => connection.end())
  })
  await swarm.join(topic, { server: true, client: false }).flushed()
  console.log('ready')
}

async function dial (swarm) {
  await new Promise((resolve) => setTimeout(resolve, 300))
  const began = performance.now()
  swarm.on('connection', (connection) => {
    const opened = performance.now() - began
    connection.on('error', () => {})
    let firstByte = null
    connection.on('data', (data) => {
      if (!data.equals(firstByte === null ? message : long)) throw new Error(`the echo differs: ${data.length} bytes`)
      if (firstByte === null) {
        firstByte = performance.now() - began
        connection.write(long)
        return
      }
      console.log(JSON.stringify({ opened, firstByte }))
      connection.end()
      swarm.destroy().then(() => process.exit(0))
    })
    connection.write(message)
  })
  swarm.join(topic, { server: false, client: true })
}

main()
