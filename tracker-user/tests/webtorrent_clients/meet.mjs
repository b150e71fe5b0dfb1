// Two clients find each other and talk over WebRTC.
// Arguments: the URL that each of them announces to. Those that have the same share a connection to the tracker.

import assert from 'node:assert/strict'
import { once } from 'node:events'
import { answerTo, client, end, infoHash } from './client.mjs'

const urls = process.argv.slice(2)
const hash = infoHash()
const clients = urls.map(url => client(url, hash))

/** The other one's id and what it says, as soon as the data channel is open. */
async function talk (client) {
  const [peer] = await once(client, 'peer')
  const heard = once(peer, 'data')
  await once(peer, 'connect')
  peer.send(`hello from ${client.peerId}`)
  const [text] = await heard
  return { id: peer.id, text: new TextDecoder().decode(text) }
}

const talks = clients.map(talk)
// One after the other: the second one's offers have somebody to go to.
for (const [n, client] of clients.entries()) {
  const { incomplete } = await answerTo(client, 'update', () => client.start({ left: 1000 }))
  assert.equal(incomplete, n + 1)
}
const expected = [...clients].reverse().map(({ peerId }) => ({ id: peerId, text: `hello from ${peerId}` }))
assert.deepEqual(await Promise.all(talks), expected)
end()
