// A little server of the pages in which a browser is a peer. A page asks for its task and reports how it went.

import { readFile } from 'node:fs/promises'
import { createServer } from 'node:http'
import { once } from 'node:events'

const file = (name, type) => async (_, response) => {
  const content = await readFile(new URL(name, import.meta.url))
  response.setHeader('Content-Type', type).end(content)
}

const FILES = {
  '/seed': file('page.html', 'text/html'),
  '/leech': file('page.html', 'text/html'),
  '/page.mjs': file('page.mjs', 'text/javascript'),
  '/webtorrent.mjs': file('node_modules/webtorrent-browser/dist/webtorrent.min.js', 'text/javascript')
}

/**
 * Serves the pages /seed and /leech. What they need (`needed.seed`, `needed.leech`) may be promises; what they report
 * is handed to `reported`.
 */
export async function serve (needed, reported) {
  const task = async (request, response) => {
    const role = new URL(request.headers.referer).pathname.slice(1)
    response.setHeader('Content-Type', 'application/json').end(JSON.stringify(await needed[role]))
  }
  const report = async (request, response) => {
    reported(JSON.parse(Buffer.concat(await request.toArray())))
    response.end()
  }
  const routes = { ...FILES, '/task': task, '/report': report }
  const server = createServer(async (request, response) => {
    const route = routes[request.url]
    if (route) return route(request, response)
    response.writeHead(404).end()
  })
  await once(server.listen(0, '127.0.0.1'), 'listening')
  return `http://127.0.0.1:${server.address().port}`
}
