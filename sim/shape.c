/* Shapes of partitions: who can talk with whom. */
#include "sim/world_internal.h"

static unsigned distance(unsigned a, unsigned b)
{
    return a > b ? a - b : b - a;
}

/* Each sees itself and as many on either side as make a majority; what is left over when the
 * majority is even makes the view one larger, so that seeing goes both ways. */
static bool ring_links(unsigned count, unsigned a, unsigned b)
{
    unsigned steps = MIN(distance(a, b), count - distance(a, b));
    unsigned others = count / 2; /* in a majority, beside oneself */
    return steps <= (others + 1) / 2;
}

bool world_shape_links(enum world_shape shape, unsigned count, unsigned a, unsigned b)
{
    REQUIRE(a < count && b < count);
    if (a == b)
        return true;
    switch (shape) {
    case WORLD_SHAPE_WHOLE:
        return true;
    case WORLD_SHAPE_ALONE:
        return a != 0 && b != 0;
    case WORLD_SHAPE_HALVES:
        return (a < count / 2) == (b < count / 2);
    case WORLD_SHAPE_BRIDGE:
        return a == count / 2 || b == count / 2 || (a < count / 2) == (b < count / 2);
    case WORLD_SHAPE_STAR:
        return a == 0 || b == 0;
    case WORLD_SHAPE_CHAIN:
        return distance(a, b) == 1;
    case WORLD_SHAPE_RING:
        return ring_links(count, a, b);
    }
    UNREACHABLE();
}

void world_partition(struct world *world, enum world_shape shape, const unsigned *machines,
                     unsigned count)
{
    for (unsigned a = 0; a < count; a++)
        for (unsigned b = 0; b < count; b++)
            if (a != b)
                world_cut(world, machines[a], machines[b], !world_shape_links(shape, count, a, b));
}
