using System.Diagnostics.CodeAnalysis;

namespace Distributed.Engine.Constraints;

/// <summary>
/// The frames and configurations that were met, each once, and the steps between them: an automaton made as it is needed. One thread at a time.
/// </summary>
internal sealed class ConfigurationTable(ByteGrammar grammar)
{
    /// <summary>The most containers in each other, which is what System.Text.Json reads.</summary>
    public const int MaxDepth = 64;

    private const int MaxFrameCount = 20_000, MaxReferenceCount = 250_000; // about 2 MB each; more are forgotten and made again
    private const int MaxWayCount = 256; // of one configuration, the first of the schema; only branches of anyOf that begin alike many times over get here

    private readonly Dictionary<(int Node, int Count, Frame Below), Frame> _frames = [];
    private readonly Dictionary<Configuration, Configuration> _configurations = new(new SameFrames());
    private readonly HashSet<(int Node, int Count, Frame Below)> _entered = [];
    private readonly Stack<(int Node, int Count, Frame Below)> _pending = new();
    private readonly List<Frame> _found = [];
    private bool _isComplete, _isLeft;
    private int _reach;
    private long _referenceCount; // of the configurations

    /// <summary>Rises when all was forgotten; configurations from before have to be taken over by <see cref="Renew"/>.</summary>
    public int Generation { get; private set; }

    /// <summary>Before the first byte.</summary>
    public Configuration Start()
    {
        Enter(grammar.Rules[0].Start, 0, Frame.Bottom);
        return Finish();
    }

    /// <summary>Behind the rule of a frame.</summary>
    public Configuration Behind(Frame frame)
    {
        Leave(frame.Below!);
        Follow();
        return Finish();
    }

    /// <summary>In this frame and no other.</summary>
    /// <param name="frame">With byte edges.</param>
    /// <param name="relative">Whether what is below it shall be unknown.</param>
    public Configuration Only(Frame frame, bool relative)
    {
        _found.Add(relative ? Intern(frame.Node, frame.Count, Frame.Unknown) : frame);
        _reach = _found[0].Depth + grammar.Needs[frame.Node];
        return Finish();
    }

    /// <summary>After one byte more.</summary>
    public Configuration Step(Configuration configuration, byte value)
    {
        var byteClass = grammar.ByteClasses[value];
        if (configuration.Next(byteClass) is { } known)
        {
            return known;
        }

        foreach (var frame in configuration.Frames)
        {
            foreach (var edge in grammar.Edges[frame.Node])
            {
                if (value >= edge.Low && value <= edge.High)
                {
                    Enter(edge.Target, frame.Count, frame.Below!);
                }
            }
        }

        var next = Finish();
        configuration.SetNext(byteClass, next);
        return next;
    }

    /// <summary>Forgets all if there is much; only between two uses, as configurations in hand are of the old generation then.</summary>
    public void Trim()
    {
        if (_frames.Count > MaxFrameCount || _referenceCount > MaxReferenceCount)
        {
            _frames.Clear();
            _configurations.Clear();
            _referenceCount = 0;
            Generation++;
        }
    }

    /// <summary>A configuration of an older generation as one of this.</summary>
    public Configuration Renew(Configuration configuration)
    {
        foreach (var frame in configuration.Frames)
        {
            var chain = new Stack<Frame>();
            var bottom = frame;
            for (; bottom.Below is not null; bottom = bottom.Below)
            {
                chain.Push(bottom);
            }

            _found.Add(chain.Aggregate(bottom, (below, old) => Intern(old.Node, old.Count, below)));
        }

        (_isComplete, _isLeft, _reach) = (configuration.IsComplete, configuration.IsLeft, configuration.Reach);
        return Finish();
    }

    private void Enter(int node, int count, Frame below)
    {
        _pending.Push((node, count, below));
        Follow();
    }

    // Follows every move from the pending places, in the order of the schema, to the frames that wait for a byte.
    private void Follow()
    {
        while (_pending.TryPop(out var place))
        {
            var (node, count, below) = place;
            if (!CanStand(node, below) || !_entered.Add(place))
            {
                continue;
            }

            if (grammar.Edges[node].Length > 0 && _found.Count < MaxWayCount)
            {
                _found.Add(Intern(node, count, below));
            }

            if (grammar.Ends[node])
            {
                Leave(below);
            }

            var rule = grammar.Rules[grammar.RuleOf[node]];
            var moves = grammar.Moves[node];
            for (var i = moves.Length - 1; i >= 0; i--)
            {
                var (kind, target, called) = moves[i];
                switch (kind)
                {
                    case MoveKind.Jump:
                    case MoveKind.Enough when count >= rule.Least:
                        _pending.Push((target, count, below));
                        break;
                    case MoveKind.Count when rule.Most == int.MaxValue: // beyond the lower bound all counts are alike
                        _pending.Push((target, Math.Min(count + 1, rule.Least), below));
                        break;
                    case MoveKind.Count when count < rule.Most:
                        _pending.Push((target, count + 1, below));
                        break;
                    case MoveKind.Call when CanStand(target, below):
                        _pending.Push((grammar.Rules[called].Start, 0, Intern(target, count, below)));
                        break;
                }
            }
        }
    }

    // Whether the rule can be completed from there within the depth.
    private bool CanStand(int node, Frame below)
    {
        var needed = below.Depth + grammar.Cost(node) + grammar.Needs[node];
        if (needed >= ByteGrammar.Never)
        {
            return false;
        }

        _reach = Math.Max(_reach, needed);
        return needed <= MaxDepth || below.IsRelative;
    }

    private void Leave(Frame to)
    {
        if (to.Below is not null)
        {
            _pending.Push((to.Node, to.Count, to.Below));
        }

        _isComplete |= to == Frame.Bottom;
        _isLeft |= to == Frame.Unknown;
    }

    private Frame Intern(int node, int count, Frame below)
    {
        var place = (node, count, below);
        if (!_frames.TryGetValue(place, out var frame))
        {
            frame = new Frame(node, count, below, below.Depth + grammar.Cost(node), below.IsRelative);
            _frames.Add(place, frame);
        }

        return frame;
    }

    private Configuration Finish()
    {
        var made = new Configuration([.. _found], _isComplete, _isLeft, _reach, grammar.ByteClassCount);
        (_isComplete, _isLeft, _reach) = (false, false, 0);
        _found.Clear();
        _entered.Clear();
        if (_configurations.TryGetValue(made, out var known))
        {
            known.Reach = Math.Max(known.Reach, made.Reach);
            return known;
        }

        _configurations.Add(made, made);
        _referenceCount += made.Frames.Length + grammar.ByteClassCount;
        return made;
    }

    private sealed class SameFrames : IEqualityComparer<Configuration>
    {
        public bool Equals(Configuration? left, Configuration? right)
            => left!.IsComplete == right!.IsComplete && left.IsLeft == right.IsLeft && left.Frames.AsSpan().SequenceEqual(right.Frames);

        public int GetHashCode([DisallowNull] Configuration configuration)
        {
            var hash = new HashCode();
            foreach (var frame in configuration.Frames)
            {
                hash.Add(frame);
            }

            return hash.ToHashCode();
        }
    }
}
