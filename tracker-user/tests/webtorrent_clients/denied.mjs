// A torrent that the tracker refuses is a warning to its client and nothing to another one on the same connection.
// Arguments: the tracker's URL, the info hash that is denied.

import assert from 'node:assert/strict'
import { answerTo, client, end, infoHash } from './client.mjs'

const [url, deniedHash] = process.argv.slice(2)
const denied = client(url, deniedHash)
const allowed = client(url, infoHash())
denied.on('update', () => assert.fail('a denied torrent was announced'))

for (let round = 0; round < 2; round++) {
  const warning = await answerTo(denied, 'warning', () => denied.start({ left: 1000 }))
  assert.equal(warning.message, 'info hash not allowed')
  const answer = await answerTo(allowed, 'update', () => allowed.start({ left: 1000 }))
  assert.equal(answer.incomplete, 1)
}
const { complete, incomplete, downloaded } = await answerTo(denied, 'scrape', () => denied.scrape())
assert.deepEqual({ complete, incomplete, downloaded }, { complete: 0, incomplete: 0, downloaded: 0 })
end()
