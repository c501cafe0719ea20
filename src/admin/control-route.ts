/** An endpoint of the control plane: path, schemas, who may call, and what happens. */
import type { FastifySchema, RouteOptions } from 'fastify'
import type { ControlAccess } from './ports.ts'

export type ControlRoute = RouteOptions & {
  readonly method: 'GET' | 'POST' | 'DELETE'
  readonly config: { readonly access: ControlAccess; readonly operation: string }
  readonly schema: FastifySchema
}
