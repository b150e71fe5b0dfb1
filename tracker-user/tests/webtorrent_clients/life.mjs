// One client's life in a swarm: it starts, scrapes, completes, scrapes and stops, and every answer has the right counts.
// Arguments: the tracker's URL.

import assert from 'node:assert/strict'
import { answerTo, client, end, infoHash } from './client.mjs'

const [url] = process.argv.slice(2)
const hash = infoHash()
const peer = client(url, hash)

const counts = ({ complete, incomplete }) => ({ complete, incomplete })
const scrape = async () => {
  const { infoHash, complete, incomplete, downloaded } = await answerTo(peer, 'scrape', () => peer.scrape())
  assert.equal(infoHash, hash)
  return { complete, incomplete, downloaded }
}

const started = await answerTo(peer, 'update', () => peer.start({ left: 1000 }))
assert.deepEqual(counts(started), { complete: 0, incomplete: 1 })
// As configured, and a tenth more or less.
assert.ok(started.interval >= 27 && started.interval <= 33, `interval ${started.interval}`)
assert.deepEqual(await scrape(), { complete: 0, incomplete: 1, downloaded: 0 })

const completed = await answerTo(peer, 'update', () => peer.complete({ left: 0 }))
assert.deepEqual(counts(completed), { complete: 1, incomplete: 0 })
assert.deepEqual(await scrape(), { complete: 1, incomplete: 0, downloaded: 1 })

const stopped = await answerTo(peer, 'update', () => peer.stop({ left: 0 }))
assert.deepEqual(counts(stopped), { complete: 0, incomplete: 0 })
end()
