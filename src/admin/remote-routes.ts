/** The endpoints that say where this site ships to. */

import type { ControlRoute } from './control-route.ts'
import type { ControlPlaneOptions } from './ports.ts'
import type { RemoteChangeDocument, RemotesDocument } from './protocol.ts'
import {
  linkedRemoteSchema,
  noQuerySchema,
  remoteChangeSchema,
  remoteParamsSchema,
  remotesSchema,
  removedSchema,
} from './schemas.ts'

const path = '/admin/replication/remotes'

export function remoteRoutes({ remotes }: ControlPlaneOptions): readonly ControlRoute[] {
  const list: ControlRoute = {
    method: 'GET',
    url: path,
    config: { access: 'read', operation: 'AdminRemotes' },
    schema: { querystring: noQuerySchema, response: { 200: remotesSchema } },
    handler: async (): Promise<RemotesDocument> => ({ remotes: remotes.list() }),
  }
  const add: ControlRoute = {
    method: 'POST',
    url: path,
    config: { access: 'admin', operation: 'AdminRemoteAdd' },
    schema: {
      querystring: noQuerySchema,
      body: remoteChangeSchema,
      response: { 200: linkedRemoteSchema },
    },
    handler: (request) => remotes.add(request.body as RemoteChangeDocument),
  }
  const set: ControlRoute = {
    method: 'POST',
    url: `${path}/:remote`,
    config: { access: 'admin', operation: 'AdminRemoteSet' },
    schema: {
      params: remoteParamsSchema,
      querystring: noQuerySchema,
      body: remoteChangeSchema,
      response: { 200: linkedRemoteSchema },
    },
    handler: (request) => remotes.set(remoteOf(request), request.body as RemoteChangeDocument),
  }
  const remove: ControlRoute = {
    method: 'DELETE',
    url: `${path}/:remote`,
    config: { access: 'admin', operation: 'AdminRemoteRemove' },
    schema: {
      params: remoteParamsSchema,
      querystring: noQuerySchema,
      response: { 200: removedSchema },
    },
    handler: (request) => remotes.remove(remoteOf(request)),
  }
  return [list, add, set, remove, switchRoute('pause', remotes), switchRoute('resume', remotes)]
}

function switchRoute(
  verb: 'pause' | 'resume',
  remotes: ControlPlaneOptions['remotes'],
): ControlRoute {
  return {
    method: 'POST',
    url: `${path}/:remote/${verb}`,
    config: {
      access: 'admin',
      operation: verb === 'pause' ? 'AdminRemotePause' : 'AdminRemoteResume',
    },
    schema: {
      params: remoteParamsSchema,
      querystring: noQuerySchema,
      response: { 200: linkedRemoteSchema },
    },
    handler: (request) => remotes[verb](remoteOf(request)),
  }
}

function remoteOf(request: { readonly params: unknown }): string {
  return (request.params as { readonly remote: string }).remote
}
