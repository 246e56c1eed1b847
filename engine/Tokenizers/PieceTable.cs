using System.Runtime.InteropServices;

namespace Distributed.Engine.Tokenizers;

/// <summary>
/// Finds the id of a piece by its bytes. The pieces themselves lie elsewhere: the table has eight bytes for each, and half as many to spare.
/// </summary>
internal sealed class PieceTable
{
    private readonly Func<int, ReadOnlyMemory<byte>> _text;
    private Slot[] _slots; // a piece lies where its hash says, or in the next free slot
    private int _count;
    private int _longest;

    /// <param name="capacity">Pieces that will be added, where that is known; the table grows.</param>
    /// <param name="text">The bytes of the id of a piece, always the same.</param>
    public PieceTable(int capacity, Func<int, ReadOnlyMemory<byte>> text) => (_slots, _text) = (new Slot[SlotCount(capacity)], text);

    /// <summary>Adds the piece of an id; false where one of the same bytes is there already.</summary>
    public bool TryAdd(int id)
    {
        if (SlotCount(_count + 1) > _slots.Length)
        {
            Grow();
        }

        var utf8 = _text(id).Span;
        var hash = Hash(utf8);
        var place = Find(utf8, hash);
        if (_slots[place].Number != 0)
        {
            return false;
        }

        _slots[place] = new Slot(id + 1, hash);
        _longest = Math.Max(_longest, utf8.Length);
        _count++;
        return true;
    }

    /// <param name="utf8">The piece's text.</param>
    /// <param name="id">-1 where there is none.</param>
    public bool TryFind(ReadOnlySpan<byte> utf8, out int id)
    {
        id = utf8.Length <= _longest ? _slots[Find(utf8, Hash(utf8))].Number - 1 : -1;
        return id >= 0;
    }

    // A third of the slots stays free, and one always.
    private static int SlotCount(int count) => count + (count / 2) + 1;

    // The slot of the piece, or the free one where it would be.
    private int Find(ReadOnlySpan<byte> utf8, int hash)
    {
        var place = First(hash, _slots.Length);
        while (_slots[place] is { Number: not 0 } slot && (slot.Hash != hash || !_text(slot.Number - 1).Span.SequenceEqual(utf8)))
        {
            place = place + 1 == _slots.Length ? 0 : place + 1;
        }

        return place;
    }

    private void Grow()
    {
        var slots = new Slot[SlotCount(Math.Max(64, 2 * _count))];
        foreach (var slot in _slots)
        {
            if (slot.Number != 0)
            {
                var place = First(slot.Hash, slots.Length);
                while (slots[place].Number != 0)
                {
                    place = place + 1 == slots.Length ? 0 : place + 1;
                }

                slots[place] = slot;
            }
        }

        _slots = slots;
    }

    // As far into the slots as the hash is into all hashes.
    private static int First(int hash, int slotCount) => (int)(((ulong)(uint)hash * (uint)slotCount) >> 32);

    // The runtime's hash of strings is keyed at random for each process: a model cannot be made to collide. An odd byte at the end has a part of its own.
    private static int Hash(ReadOnlySpan<byte> utf8)
    {
        var hash = string.GetHashCode(MemoryMarshal.Cast<byte, char>(utf8));
        return (utf8.Length & 1) == 0 ? hash : unchecked(hash + ((utf8[^1] + 1) * 0x2545F491));
    }

    // The id and one, 0 for a free slot.
    private readonly record struct Slot(int Number, int Hash);
}
