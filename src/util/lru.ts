import { LRUCache } from 'lru-cache'

/**
 * Returns a cache of at most `max` values, from which the one that was used longest ago goes first. Its memory grows
 * with its use: by `max` alone, the library would allocate the whole of it at once, and most nodes stay small.
 */
export function growingCache<K extends {}, V extends {}>(max: number): LRUCache<K, V> {
  return new LRUCache<K, V>({ maxSize: max, sizeCalculation: () => 1 })
}
