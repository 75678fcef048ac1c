// A blind relay of the reference: node relay.js HOST PORT BOOTSTRAP...
// Prints "ready" and its public key in hex once others can find it, and "paired" for each side that met
// the other one there.
const DHT = require('hyperdht')
const { Server } = require('blind-relay')

const [host, port, ...bootstrap] = process.argv.slice(2)

async function main () {
  const dht = new DHT({ bootstrap, host, port: Number(port), ephemeral: false, firewalled: false })
  await dht.fullyBootstrapped()
  const relay = new Server({ createStream: (opts) => dht.createRawStream({ ...opts, framed: true }) })
  const server = dht.createServer((connection) => {
    connection.on('error', () => {})
    const session = relay.accept(connection, { id: connection.remotePublicKey })
    session.on('error', () => {})
    session.on('pair', () => console.log('paired'))
  })
  await server.listen()
  console.log('ready ' + server.publicKey.toString('hex'))
}

main()
