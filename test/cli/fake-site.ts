import { createServer, type IncomingMessage, type ServerResponse } from 'node:http'
import type { AddressInfo } from 'node:net'

export interface FakeRequest {
  readonly method: string
  readonly url: string
  readonly authorization: string | undefined
  readonly body: string
}

/** A control plane that answers from a table of `METHOD PATH`, and what it was asked. */
export async function withSite<T>(
  answers: Readonly<Record<string, { readonly status?: number; readonly text: string }>>,
  use: (url: string, seen: readonly FakeRequest[]) => Promise<T>,
): Promise<T> {
  const seen: FakeRequest[] = []
  const answer = async (request: IncomingMessage, response: ServerResponse): Promise<void> => {
    const chunks: Buffer[] = []
    for await (const chunk of request) chunks.push(chunk as Buffer)
    const { method = '', url = '', headers } = request
    const body = Buffer.concat(chunks).toString()
    seen.push({ method, url, authorization: headers.authorization, body })
    const found = answers[`${method} ${url}`]
    response.statusCode = found === undefined ? 404 : (found.status ?? 200)
    response.end(found?.text ?? '{"error":{"code":"NO_SUCH_ENDPOINT","message":"nothing here"}}')
  }
  const server = createServer((request, response) => void answer(request, response))
  await new Promise<void>((resolve) => server.listen(0, '127.0.0.1', resolve))
  try {
    return await use(`http://127.0.0.1:${(server.address() as AddressInfo).port}`, seen)
  } finally {
    server.closeAllConnections()
    await new Promise<void>((resolve) => server.close(() => resolve()))
  }
}
