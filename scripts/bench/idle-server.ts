/**
 * The reference that everything over HTTP is measured against: a `node:http` server that reads the
 * body of a PUT and answers, and answers a GET with as many bytes as its path says. It stores
 * nothing. Prints its port.
 */
import { createServer } from 'node:http'

const bodies = new Map<number, Buffer>()

const server = createServer((request, response) => {
  if (request.method === 'GET') {
    response.end(bodyOf(Number(request.url?.split('/')[1])))
    return
  }
  request.resume()
  request.once('end', () => response.end())
})
server.listen(0, '127.0.0.1', () => {
  const address = server.address()
  if (typeof address === 'object' && address !== null) console.info(address.port)
})

function bodyOf(size: number): Buffer {
  let body = bodies.get(size)
  if (body === undefined) {
    body = Buffer.alloc(size, 'comio')
    bodies.set(size, body)
  }
  return body
}
