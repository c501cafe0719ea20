import { type FastifyInstance, fastify } from 'fastify'
import { afterEach, beforeEach, describe, expect, it } from 'vitest'
import type { ControlPlaneOptions } from '../../src/admin/ports.ts'
import { scrubRoutes } from '../../src/admin/scrub-routes.ts'
import { exampleScrub, scrubDocument } from './example-scrub.ts'

const url = '/admin/volume/scrub'
let app: FastifyInstance

beforeEach(async () => {
  app = fastify()
  const options: Partial<ControlPlaneOptions> = { scrub: exampleScrub() }
  for (const route of scrubRoutes(options as ControlPlaneOptions)) app.route(route)
  await app.ready()
})

afterEach(() => app.close())

describe('the endpoint that scrubs', () => {
  it('serialises every field of its answer', async () => {
    for (const method of ['POST', 'GET', 'DELETE'] as const) {
      expect((await app.inject({ method, url })).json()).toEqual(scrubDocument)
    }
  })

  it('does not begin a second scrub while one is running', async () => {
    await app.inject({ method: 'POST', url })
    const second = await app.inject({ method: 'POST', url })
    expect(second.json()).toMatchObject({ code: 'SCRUB_RUNNING' })
  })
})
