// A client connects again to a tracker that was away for a while.
// Arguments: the tracker's URL. Says "announced" when the tracker may go away.

import assert from 'node:assert/strict'
import { once } from 'node:events'
import { answerTo, client, end, infoHash, say } from './client.mjs'

const [url] = process.argv.slice(2)
const peer = client(url, infoHash())
// It waits for ten seconds and a random time of up to five minutes; without the latter.
Math.random = () => 0
// Nothing else keeps the script running meanwhile.
setInterval(() => {}, 1000)

await answerTo(peer, 'update', () => peer.start({ left: 1000 }))
say('announced')
const [again] = await once(peer, 'update')
assert.equal(again.incomplete, 1)
end()
