import { type FastifyInstance, fastify } from 'fastify'
import { afterEach, beforeEach, describe, expect, it } from 'vitest'
import type { ControlPlaneOptions, VerifyOrder } from '../../src/admin/ports.ts'
import { verifyRoutes } from '../../src/admin/verify-routes.ts'
import { exampleVerify, verifyDocument } from './example-verify.ts'

const url = '/admin/replication/verify'
let app: FastifyInstance
let begun: VerifyOrder[]

beforeEach(async () => {
  begun = []
  app = fastify({ ajv: { customOptions: { removeAdditional: false, coerceTypes: false } } })
  const options = { verify: exampleVerify(begun) } as Partial<ControlPlaneOptions>
  for (const route of verifyRoutes(options as ControlPlaneOptions)) app.route(route)
  await app.ready()
})

afterEach(() => app.close())

describe('the endpoint that compares', () => {
  it('begins what was asked for, and serialises every field of the answer', async () => {
    const payload = { remote: 'default', bucket: 'docs', deep: true }
    const answer = await app.inject({ method: 'POST', url, payload })
    expect(answer.json()).toEqual(verifyDocument)
    const order = { bucket: 'docs', deep: true, repair: false }
    expect(begun).toEqual([{ remote: 'default', order }])
    for (const method of ['GET', 'DELETE'] as const) {
      expect((await app.inject({ method, url })).json()).toEqual(verifyDocument)
    }
  })

  it('begins nothing while one is running, nor for a field that it does not know', async () => {
    const busy = await app.inject({ method: 'POST', url, payload: { remote: 'busy' } })
    expect(busy.json()).toMatchObject({ code: 'VERIFY_RUNNING' })
    const misspelt = await app.inject({ method: 'POST', url, payload: { repiar: true } })
    expect(misspelt.statusCode).toBe(400)
    expect(begun).toEqual([])
  })
})
