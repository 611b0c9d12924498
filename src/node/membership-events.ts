import type { NodeEvent } from '../api.ts'
import { networkWords } from '../format/approval.ts'
import type { Members, MembershipEvent } from '../members/members.ts'

/** Returns the event that reports to the owner of the node what has happened with a peer. */
export function nodeEventOf(
  news: Exclude<MembershipEvent, { event: 'compared' }>,
  members: Pick<Members, 'self' | 'member'>
): NodeEvent {
  const peerId = news.peer
  const name = members.member(peerId)?.name ?? null
  switch (news.event) {
    case 'asking':
      return { event: news.event, code: news.code, name: news.name, role: news.role }
    case 'removed':
      return { event: news.event }
    case 'foreign': {
      const words = news.network === undefined ? null : networkWords(news.network)
      return { event: news.event, peerId, words, address: news.address ?? null }
    }
    case 'rejected':
      return { event: news.event, peerId, name, reason: news.reason, aheadMs: news.aheadMs ?? null }
    case 'clock':
      return { event: news.event, peerId, name, aheadMs: news.aheadMs }
    case 'duplicate':
      return { event: news.event, peerId, name, isSelf: peerId === members.self.peerId }
    default:
      return { event: news.event, peerId, name }
  }
}
