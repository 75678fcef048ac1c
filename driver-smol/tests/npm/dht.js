// A full node of the DHT: node dht.js HOST PORT [BOOTSTRAP...]
// The first node of a network is given no bootstrap nodes. Prints "ready" when it runs.
const DHT = require('hyperdht')

const [host, port, ...bootstrap] = process.argv.slice(2)

async function main () {
  const node = bootstrap.length === 0
    ? DHT.bootstrapper(Number(port), host)
    : new DHT({ bootstrap, host, port: Number(port), ephemeral: false, firewalled: false })
  await node.fullyBootstrapped()
  console.log('ready')
}

main()
